"""From a CT volume to detection, segmentation and measurements; `analyze.analyze` is the one door."""
