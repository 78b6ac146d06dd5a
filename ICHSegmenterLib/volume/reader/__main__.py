"""`python -m ICHSegmenterLib.volume.reader`: reads exams in a process of its own."""

from ICHSegmenterLib.volume.reader.serve import serve

if __name__ == "__main__":
    serve()
