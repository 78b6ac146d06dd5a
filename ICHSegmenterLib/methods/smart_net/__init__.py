"""SMART-Net: upstream on slices, downstream on whole volumes."""
