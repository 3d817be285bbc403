"""The package inside the tools of others; each module is imported by those who use its tool."""
