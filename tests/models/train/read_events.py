# Reads a directory of event files with TensorBoard's own EventAccumulator and prints what it sees as JSON.
import base64, json, sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

everything = {"scalars": 0, "histograms": 0, "images": 0, "tensors": 0}
events = EventAccumulator(sys.argv[1], size_guidance=everything).Reload()
tags = events.Tags()
seen = {
    "scalars": {t: [[e.step, e.value] for e in events.Scalars(t)] for t in tags["scalars"]},
    "histograms": {t: [[e.step, e.histogram_value.num, e.histogram_value.bucket_limit[-1], sum(e.histogram_value.bucket)] for e in events.Histograms(t)] for t in tags["histograms"]},
    "images": {t: [[e.step, e.height, e.width, base64.b64encode(e.encoded_image_string).decode()] for e in events.Images(t)] for t in tags["images"]},
    "texts": {t: [[e.step, e.tensor_proto.string_val[0].decode()] for e in events.Tensors(t)] for t in tags["tensors"]},
}
json.dump(seen, sys.stdout)
