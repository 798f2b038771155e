"""Tables of automata, read out of networks that were trained on them."""
