"""HGI-SAM's protocol: every figure is of single slices at the network's own pixels."""
