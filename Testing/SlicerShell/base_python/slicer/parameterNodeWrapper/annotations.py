"""What may stand in Annotated[...]: default, validators, decimals, step."""

import abc
import dataclasses


class Default:
    def __init__(self, value=None, *, generator=None):
        self._value, self._generator = value, generator

    @property
    def value(self):
        return self._generator() if self._generator else self._value


@dataclasses.dataclass
class Decimals:
    value: int


@dataclasses.dataclass
class SingleStep:
    value: float


class Validator(abc.ABC):
    @abc.abstractmethod
    def validate(self, value):
        """Raise ValueError or TypeError for a value that is not allowed."""


def _refuseUnless(allowed, message):
    if not allowed:
        raise ValueError(message)


class NotNone(Validator):
    def validate(self, value):
        _refuseUnless(value is not None, "the value must not be None")


class IsInstance(Validator):
    def __init__(self, classtype):
        self.classtype = classtype

    def validate(self, value):
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"{value!r} is not a {self.classtype}")


class WithinRange(Validator):
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value):
        _refuseUnless(self.minimum <= value <= self.maximum, f"{value} is not in {self.minimum} .. {self.maximum}")


class Minimum(Validator):
    def __init__(self, minimum):
        self.minimum = minimum

    def validate(self, value):
        _refuseUnless(value >= self.minimum, f"{value} is below {self.minimum}")


class Maximum(Validator):
    def __init__(self, maximum):
        self.maximum = maximum

    def validate(self, value):
        _refuseUnless(value <= self.maximum, f"{value} is above {self.maximum}")


class Choice(Validator):
    def __init__(self, choices):
        self.choices = choices

    def validate(self, value):
        _refuseUnless(value in self.choices, f"{value!r} is not one of {self.choices}")


class Exclude(Validator):
    def __init__(self, excludedValues):
        self.excludedValues = excludedValues

    def validate(self, value):
        _refuseUnless(value not in self.excludedValues, f"{value!r} is not allowed")
