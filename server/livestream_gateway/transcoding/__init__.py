"""How the contract's messages look in public: JSON with camelCase names, and forms.

`render` writes messages, `read` takes them in; both compile a message type once, from its descriptor.
"""
