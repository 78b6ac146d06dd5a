"""HGI-SAM, Swin-SAM and Swin-GradCAM: a Swin slice classifier and maps from its attention."""
