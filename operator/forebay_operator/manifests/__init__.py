"""Pure builders of Kubernetes objects: values in, plain data out, in the form in which API servers keep it."""
