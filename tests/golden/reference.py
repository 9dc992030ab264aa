"""pyAudioAnalysis's short-term features, also with the harmonic ones and as older releases computed them."""
import inspect
import types

import numpy as np
from pyAudioAnalysis import ShortTermFeatures as library

NAMES = ["zcr", "energy", "energy_entropy", "spectral_centroid", "spectral_spread", "spectral_entropy",
         "spectral_flux", "spectral_rolloff"]
NAMES += [f"mfcc_{i}" for i in range(1, 14)] + [f"chroma_{i}" for i in range(1, 13)] + ["chroma_std"]


def window_and_step(rate):
    return int(0.025 * rate), int(0.010 * rate)


def _changed(*changes):
    """The library with parts of its text replaced."""
    source = inspect.getsource(library)
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    namespace = {}
    exec(compile(source, "changed", "exec"), namespace)
    return types.SimpleNamespace(**namespace)


# In harmonic() a number of samples is a float, which NumPy has long refused as a length.
_WHOLE = ("m = np.round(0.016 * sampling_rate) - 1\n    r = np.correlate",
          "m = int(np.round(0.016 * sampling_rate) - 1)\n    r = np.correlate")
NOW = _changed(_WHOLE)

# Up to release 0.3.6: this eps, and no guard where a window is silent. That release's file differs otherwise only
# in functions that are not called here.
OLD = _changed(_WHOLE,
               ("eps = sys.float_info.epsilon", "eps = 0.00000001"),
               ("Xt = Xt / eps", "Xt = Xt / Xt_max"),
               ("final_matrix /= eps", "final_matrix /= spec_sum"))


def features(samples, rate, module=library):
    """Windows x 34 of mono samples in 16-bit scale."""
    window, step = window_and_step(rate)
    values, names = module.feature_extraction(samples, rate, window, step, deltas=False)
    assert names == NAMES
    return np.ascontiguousarray(values.T)


def harmonic(samples, rate, module=NOW):
    """Windows x 2: harmonic ratio and pitch."""
    window, step = window_and_step(rate)
    signal = library.dc_normalize(np.double(samples) / 2.0 ** 15)
    starts = range(0, len(signal) - window + 1, step)
    return np.array([module.harmonic(signal[s:s + window], rate) for s in starts])
