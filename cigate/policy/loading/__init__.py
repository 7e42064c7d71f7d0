"""Text to rules that are ready to be asked: checked once, and whatever is wrong is told with its place.

In comes YAML or JSON and the schema of facts; out come a `PolicyDocument` (as written) and its rules (checked for
types, for the polarity of presence tests, for comparisons of open facts), whose code is made when they are first
asked. What must hold: a misspelt restriction does not load, for it would restrict nothing; nothing of the text's
places outlives loading.
"""
