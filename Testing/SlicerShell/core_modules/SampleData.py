"""Slicer's Sample Data module, as far as other modules offer data to it: files are fetched into a cache and loaded."""

import os
import urllib.request

import slicer


class SampleDataSource:
    """One file; `customDownloader` is for a click in the module's panel."""

    def __init__(self, sampleName, uri, fileName, nodeName, customDownloader):
        self.sampleName, self.uri, self.fileName, self.nodeName = sampleName, uri, fileName, nodeName
        self.customDownloader = customDownloader


class SampleDataLogic:
    """Sources by category, in `slicer.modules.sampleDataSources`."""

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
    ):
        if not os.path.isfile(thumbnailFileName):
            raise FileNotFoundError(thumbnailFileName)
        sources = slicer.modules.__dict__.setdefault("sampleDataSources", {}).setdefault(category, [])
        sources.append(SampleDataSource(sampleName, uris, fileNames, nodeNames, customDownloader))

    def downloadSamples(self, sampleName):
        """Load a sample by its name. As in Slicer, its own downloader is not asked."""
        for sources in slicer.modules.sampleDataSources.values():
            for source in sources:
                if source.sampleName == sampleName:
                    return [self._load(source)]
        return []

    def _load(self, source):
        folder = slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()
        path = f"{folder}/{source.fileName}"
        if not os.path.exists(path):
            urllib.request.urlretrieve(source.uri, path)
        return slicer.util.loadVolume(path, {"name": source.nodeName})


def downloadSample(sampleName):
    """The first node of a sample."""
    return SampleDataLogic().downloadSamples(sampleName)[0]
