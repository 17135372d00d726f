"""Input: records, the embedded data set, the tf.data pipeline: all that loads TensorFlow."""
