"""exp, expm1, log, log1p and tanh as C without branches or tables, so that compilers vectorise them.

Each function reduces its argument, exactly or by a constant in two parts, and evaluates a polynomial, fitted by Remez's
algorithm in 60 digits for the least relative error. Only sums, products and quotients are used, so every compiler gives
the same bits. NaN, infinities, signed zeros and arguments out of range give the results of the C standard.
`tests/compiler/test_elementary.py` states the largest errors found, in units in the last place.
"""

import re

# exp(r) = 1 + r + r^2 q(r) for |r| <= log(2) / 2, and log((1 + s) / (1 - s)) = 2 s + s^3 h(s^2), lowest power first.
_Q = {
    "float": ("0.5f", "0.1666666681745809f", "0.041666354164734756f", "0.008333272948592069f",
              "0.0013941050005461066f", "0.00019914231110000684f"),
    "double": ("0.5", "0.16666666666666677", "0.0416666666666667", "0.008333333333321579", "0.001388888888886678",
               "0.00019841269886266294", "2.4801587360669886e-05", "2.755724406189846e-06", "2.7557242663845096e-07",
               "2.510909041292652e-08", "2.0924472598317047e-09"),
}  # fmt: skip
_H = {
    "float": ("0.6666666563711273f", "0.400003372507932f", "0.28537167962051435f", "0.2358498792983897f"),
    "double": ("0.6666666666666666", "0.4000000000000633", "0.2857142856905849", "0.22222222650940682",
               "0.1818177533252002", "0.15387105378620167", "0.13249787068250213", "0.13254352107618164"),
}  # fmt: skip

_TEXT = """
// 2^k, given the exponent k + BIAS as it stands in the bits of the number.
static inline T powerF(U exponent) { union { U u; T x; } b = { exponent << MANTISSA }; return b.x; }

// x, held between its bounds, is k log(2) + r; returns exp(r) - 1. k is found in the last bits of a large sum.
static inline T reducedF(T x, T least, U *k) {
  x = x < least ? least : x;
  x = x > MOST ? MOST : x;
  union { T x; U u; } b = { x * LOG2E + MAGIC };
  T whole = b.x - MAGIC, r = (x - whole * LN2_HIGH) - whole * LN2_LOW;
  *k = b.u - MAGIC_BITS;
  return r + r * r * (Q(r));
}

static inline T mlp_expF(T x) {
  U k;
  T e = reducedF(x, LEAST, &k);
  U both = k + 2 * BIAS, half = both >> 1;  // of two powers whose product is 2^k, which may be no normal number
  return (1 + e) * powerF(half) * powerF(both - half);
}

// exp(r) 2^k - 1 = (2 - 2^(1 - k) + 2 (exp(r) - 1)) 2^(k - 1), whose powers are numbers for every k there is.
static inline T mlp_expm1F(T x) {
  U k;
  T e = reducedF(x, LEAST_BUT_ONE, &k);
  T y = (2 - powerF(BIAS + 1 - k) + (e + e)) * powerF(BIAS - 1 + k);
  return x == 0 ? x : y;
}

// log(x) of a finite positive number.
static inline T finite_logF(T x) {
  union { T x; U u; } b = { x < TINY ? x * RAISE : x };
  b.u += ONE - ROOT;  // so that the fraction m lies in [sqrt(1/2), sqrt(2))
  union { U u; T x; } k = { MAGIC_BITS + (b.u >> MANTISSA) };
  T e = (k.x - MAGIC) - (x < TINY ? BIAS + RAISED : BIAS);
  b.u = (b.u & FRACTION) + ROOT;
  T f = b.x - 1, s = f / (2 + f), z = s * s, half = HALF * f * f;
  return e * LN2_HIGH - ((half - (s * (half + z * (H(z))) + e * LN2_LOW)) - f);
}

static inline T mlp_logF(T x) {
  T y = finite_logF(x), other = x < 0 ? NAN : x == 0 ? -INFINITY : x;
  return ((x > 0) & (x < INFINITY)) ? y : other;
}

static inline T mlp_log1pF(T x) {
  T u = 1 + x, lost = fabsF(x) < 1 ? x - (u - 1) : 1 - (u - x);
  T y = finite_logF(u) + lost / u, other = u == 0 ? -INFINITY : NAN;
  y = u > 0 ? y : other;
  return ((x == 0) | (x == INFINITY) | (x != x)) ? x : y;
}

static inline T mlp_tanhF(T x) {
  T a = fabsF(x), e = mlp_expm1F(2 * (a > LEVEL ? LEVEL : a));
  return copysignF(e / (e + 2), x);
}
"""
_WORDS = {
    "float": {
        "MAGIC_BITS": "0x4b400000u", "MAGIC": "0x1.8p23f", "BIAS": "127", "MANTISSA": "23", "LEAST": "-104.0f",
        "LEAST_BUT_ONE": "-40.0f", "MOST": "89.0f", "LOG2E": "1.44269504088896341f", "LN2_HIGH": "0x1.62e4p-1f",
        "LN2_LOW": "1.4286068203094173e-06f",
        "HALF": "0.5f", "TINY": "0x1p-126f", "RAISED": "23", "RAISE": "0x1p23f", "ONE": "0x3f800000u",
        "ROOT": "0x3f3504f3u", "FRACTION": "0x007fffffu", "LEVEL": "10.0f", "U": "uint32_t", "T": "float",
    },
    "double": {
        "MAGIC_BITS": "0x4338000000000000u", "MAGIC": "0x1.8p52", "BIAS": "1023", "MANTISSA": "52", "LEAST": "-746.0",
        "LEAST_BUT_ONE": "-40.0", "MOST": "710.0", "LOG2E": "1.44269504088896341", "LN2_HIGH": "0.693147180559663",
        "LN2_LOW": "2.8235290563031577e-13",
        "HALF": "0.5", "TINY": "0x1p-1022", "RAISED": "54", "RAISE": "0x1p54", "ONE": "0x3ff0000000000000u",
        "ROOT": "0x3fe6a09e667f3bcdu", "FRACTION": "0x000fffffffffffffu", "LEVEL": "20.0", "U": "uint64_t",
        "T": "double",
    },
}  # fmt: skip


def _horner(coefficients: tuple[str, ...], x: str) -> str:
    """The polynomial in ``x`` as a C expression, by Horner's rule; coefficients from the lowest power on."""
    text = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        text = f"{coefficient} + {x} * ({text})"
    return text


def text(kind: str) -> str:
    """The functions for "float" (their names end in f) or "double"."""
    template = _TEXT.replace("Q(r)", _horner(_Q[kind], "r")).replace("H(z)", _horner(_H[kind], "z"))
    return typed(template, kind)


def typed(template: str, kind: str) -> str:
    """The template for one type: constants in capitals are replaced, and ``F(`` becomes ``f(`` for float, ``(`` for
    double."""
    typed_text = re.sub(r"\b[A-Z][A-Z0-9_]*\b", lambda word: _WORDS[kind].get(word[0], word[0]), template)
    return re.sub(r"F\(", "f(" if kind == "float" else "(", typed_text)
