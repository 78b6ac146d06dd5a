"""U-Net and SwinUNETR of the HGI-SAM paper."""
