"""VTK observers that end with the widget that added them."""

import weakref

import shiboken6


class Observer:
    """Observations of one widget; a callback of a deleted widget is dropped, not called."""

    def __init__(self, widget):
        self._widget = weakref.ref(widget)
        self._tags = []

    def add(self, target, event, callback):
        def guarded(caller, name):
            widget = self._widget()
            if widget is not None and shiboken6.isValid(widget):
                callback(caller, name)

        self._tags.append((target, target.AddObserver(event, guarded)))

    def clear(self):
        for target, tag in self._tags:
            target.RemoveObserver(tag)
        self._tags = []
