"""pyAudioAnalysis's short-term features, also with the harmonic ones and as older releases computed them."""
import inspect

import numpy as np
from pyAudioAnalysis import ShortTermFeatures as library

NAMES = ["zcr", "energy", "energy_entropy", "spectral_centroid", "spectral_spread", "spectral_entropy",
         "spectral_flux", "spectral_rolloff"]
NAMES += [f"mfcc_{i}" for i in range(1, 14)] + [f"chroma_{i}" for i in range(1, 13)] + ["chroma_std"]


def window_and_step(rate):
    return int(0.025 * rate), int(0.010 * rate)


def features(samples, rate, module=library):
    """Windows x 34 of mono samples in 16-bit scale."""
    window, step = window_and_step(rate)
    values, names = module.feature_extraction(samples, rate, window, step, deltas=False)
    assert names == NAMES
    return np.ascontiguousarray(values.T)


def _changed(source, *changes):
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    namespace = {}
    exec(compile(source, "changed", "exec"), namespace)
    return type("Module", (), {k: staticmethod(v) for k, v in namespace.items() if inspect.isfunction(v)})


# Up to release 0.3.6: this eps, and no guard where a window is silent. The other differences of that release's
# file are in functions that are not called here.
OLD = _changed(inspect.getsource(library),
               ("eps = sys.float_info.epsilon", "eps = 0.00000001"),
               ("Xt = Xt / eps", "Xt = Xt / Xt_max"),
               ("final_matrix /= eps", "final_matrix /= spec_sum"))

# A number of samples is a float there, which NumPy has long refused as a length.
_WHOLE = _changed(inspect.getsource(library),
                  ("m = np.round(0.016 * sampling_rate) - 1\n    r = np.correlate",
                   "m = int(np.round(0.016 * sampling_rate) - 1)\n    r = np.correlate"))


def harmonic(samples, rate):
    """Windows x 2: harmonic ratio and pitch."""
    window, step = window_and_step(rate)
    signal = library.dc_normalize(np.double(samples) / 2.0 ** 15)
    starts = range(0, len(signal) - window + 1, step)
    return np.array([_WHOLE.harmonic(signal[s:s + window], rate) for s in starts])
