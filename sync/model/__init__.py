"""The nouns: frozen values without behaviour towards the outside.

`event` is what Calendar shows, `conference` what the provider has and what we remember of it,
`calendar` one watched calendar's state, `provider` how a provider's conferences are recognised.
Foreign JSON becomes a value in `from_api`, which keeps only the fields that are used.
"""
