"""The lab: a world outside the organisation, so that its units have real protocols, people and failures to work with.

``cipo.lab.world.World`` starts fixtures (real programs or protocol emulators) as child processes and gives every one of them a gate
where it can be slowed, broken or cut; ``cipo.lab.scenario`` plays scenarios; ``python -m cipo.lab`` seeds the sample organisation and
keeps its people at work. The lab writes no fact and no status: it acts only as people, over the HTTP API, with their own tokens. It
imports neither the store nor the fact writer, and ``tests/lab/test_honesty.py`` holds it to that.
"""
