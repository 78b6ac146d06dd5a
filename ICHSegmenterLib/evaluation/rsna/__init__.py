"""The files and the metric of the RSNA 2019 competition."""
