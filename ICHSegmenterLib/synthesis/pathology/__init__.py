"""What goes wrong in a head: hemorrhages and what they displace."""
