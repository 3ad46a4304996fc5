"""Listening test: make recordings, collect ratings, analyse them.

References:
    Soomro et al., Interspeech 2019, sections 3.6 and 4.2.
"""
