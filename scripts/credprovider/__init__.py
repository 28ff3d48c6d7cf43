"""The library behind the build hook and the maintainers' commands.

One way through it: target -> pin -> source -> archive -> payload -> staged files.
"""
