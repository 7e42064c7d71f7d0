"""One policy, said in the language of every engine that is timed, and a plain evaluation that says what is right.

`rules.py` has the policy as values, `generate.py` makes realistic ones of any size, `documents.py` the facts.
`reference.py` evaluates them naively: what every engine's effect is compared with before anything is timed.
`floor.py` is the Python that a compiler would emit. The other files are one engine each: `engines.py` lists them.
"""
