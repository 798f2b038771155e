"""Section 3 of the paper, runnable: how many queries identify a function?

An *interrogator* is given one function of a known finite family and must find
out which. An *interactive* one chooses each query after hearing the answers to
those before; a *non-interactive* one asks a fixed set.

    families        families of functions as tables of answers
    exhaustive      numbers of queries by definition, for tiny families
    trees           the best interactive interrogator, a decision tree
    separating_sets the best non-interactive interrogator
    networks        RNNs built by hand that compute secret paths
    rollouts        what rollouts of such an RNN tell, counted and measured
"""
