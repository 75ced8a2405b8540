# Starts the server as on a GPU, but for the device: what --device-memory says, simulated.
for argument; do
  case $argument in --device-memory=*) memory=${argument#*=} ;; esac
done
for argument; do
  shift
  case $argument in --device=gpu:*) argument=--device=simulated:$memory,pace=${FOREBAY_PACE:-20ms+5ms} ;; esac
  set -- "$@" "$argument"
done
exec /opt/forebay/bin/forebay-runtime "$@"
