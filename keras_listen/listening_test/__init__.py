"""The listening test: recordings are made, people rate them, ratings are analysed.

References:
    Soomro et al., Interspeech 2019, sections 3.6 and 4.2.
"""
