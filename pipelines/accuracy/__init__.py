"""The model: *accuracy* is what the parts that guess are right about: the language of a text (`language`), the encoding of a file
(`encoding`), what a text was before it was decoded wrongly (`mojibake`). Each is measured on anybody's own texts, a text a line.
"""
