"""The peers, one module per library, each in that library's usual style; imported only when they run."""
