"""What a unit's tests stand on: ``KindSuite`` gives a kind its whole suite when it is named; ``running`` is a plane inside the test's process."""

from cipo.testing.plane import Person, running
from cipo.testing.suite import KindSuite

__all__ = ["KindSuite", "Person", "running"]
