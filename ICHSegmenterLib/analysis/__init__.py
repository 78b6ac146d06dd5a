"""From a CT volume to detection and segmentation; `engine.analyze` is the one entry point."""
