"""Bytes and text that come from outside, read so that they have one meaning.

In come JSON and YAML; out go plain values, or a typed error that says where. What must always hold: whatever
the input, only this room's errors escape, at a cost no more than its length; two readers never disagree.
"""
