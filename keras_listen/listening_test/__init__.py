"""Listening tests: make recordings, collect ratings of them, analyse the ratings.

References:
    Soomro et al., Interspeech 2019, sections 3.6 and 4.2.
"""
