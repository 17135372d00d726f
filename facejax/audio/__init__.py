"""Sound: waveforms and speech features."""
