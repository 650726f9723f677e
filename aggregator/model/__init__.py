"""The words of the trade: frozen values, standard library only.

Read ``opportunity.py`` first: it is the life of one bid, as one table.
"""
