"""The networks of SMART-Net, and the same functions with fewer passes over memory."""
