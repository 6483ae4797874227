"""How fast the relay is, beside others, on the machine at hand.

Run it as ``python -m benchmarks``; ``README.md`` says what the figures mean. Nothing
here is part of the package that is published.

"""
