"""The project's tests, in a virtual machine of :mod:`trionitro.vm`.

Nothing here is part of the package ``trionitro``, or goes into its wheel.

"""
