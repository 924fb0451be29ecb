"""Who may do what: accounts, tokens, roles, and the record of what operators did."""
