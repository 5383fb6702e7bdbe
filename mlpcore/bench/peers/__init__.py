"""The peers, one file per library, each written as that library's own users would; imported only when they run."""
