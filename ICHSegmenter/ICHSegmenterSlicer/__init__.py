"""The Slicer side: nodes, panel and worker process. The only package that imports slicer, qt, ctk and vtk."""
