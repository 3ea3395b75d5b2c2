"""The subcommands of ``faces``, one module each."""
