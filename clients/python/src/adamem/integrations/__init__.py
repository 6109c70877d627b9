"""Stores of agent frameworks over AdaMem. Each module needs the extra of its name, such as `adamem-client[langchain]`.

`adamem.integrations.mem0` needs none. Nothing here is imported by `import adamem`.
"""
