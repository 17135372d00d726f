"""Talking heads from nothing: the embedded data set, one idea a file.

surface, features, skin, template: the neutral head as a mesh. identity, expression, head: its
morphable model. look, figure, paint: what a person looks like. render, flow: images of it. speech,
rhythm: how it talks and moves. dataset: the clips.
"""
