"""ICHSegmenterLib: detect and outline intracranial hemorrhage on head CT. Never imports Slicer, Qt or VTK."""

__version__ = "0.1.0"
