"""The straight way to decide: Python compiled for facts that are all there and of their declared types.

In come rules and the schema; out comes, for a document of facts, which rules are true. Whatever is odd raises, and the
exact way (`cigate.policy.exact`) decides. One function checks all facts (checks), an index finds the rules that can be
true at all (candidates), and a function for each action loads what they read (reads) and asks them (rules).
"""
