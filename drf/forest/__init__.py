"""Soft decision forests: routing, gates and leaves, as tensor expressions without a model family.

Symbols: N rows (faces, or faces x landmarks), T trees, d their depth, S = 2^d - 1 splits and
L = 2^d leaves of a tree, P(l|x) the probability that x reaches leaf l. Tensors end in (T, S) or
(T, L); what stands before is up to the caller.
"""
