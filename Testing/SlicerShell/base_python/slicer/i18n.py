"""Translation functions; the stand-in speaks English only."""


def translate(context, text):
    return text


def tr(text):
    return text
