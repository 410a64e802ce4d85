// The accent rule. One colour goes in, every accent token comes out, always readable.
//
// tokens.css has its values for the colour that is there until somebody picks another.
//
//   1. The fill is the colour as picked. In the dark it is lifted to OKLCH lightness 0.54, so that it stands out.
//   2. Text on the fill is white if white reaches 4.5:1, else black. One of the two always does.
//   3. As text or line on a surface the hue is kept and the lightness moved until it reads: at most 0.47 in the light,
//      at least 0.79 in the dark.
//   4. Soft fills keep the hue, with little chroma and a fixed lightness; ordinary ink reads on them.

export const DEFAULT_ACCENT = "#006877";

export function accentTokens(picked: string, dark: boolean): Record<string, string> {
  const [l, c, h] = oklchOf(picked);
  const fillL = dark ? Math.max(l, 0.54) : l;
  const fill = fillL === l ? picked.toLowerCase() : hexOf(fillL, c, h);
  const white = contrast("#ffffff", fill) >= 4.5;
  return {
    "--accent": fill,
    "--accent-hover": hexOf(white ? fillL - 0.05 : fillL + 0.04, c, h),
    "--on-accent": white ? "#ffffff" : "#000000",
    "--accent-text": dark ? hexOf(Math.max(l, 0.79), Math.min(c, 0.1), h) : hexOf(Math.min(l, 0.47), c, h),
    "--accent-soft": dark ? hexOf(0.32, Math.min(c * 0.42, 0.034), h) : hexOf(0.95, Math.min(c * 0.22, 0.018), h),
    "--accent-soft-2": dark ? hexOf(0.37, Math.min(c * 0.5, 0.042), h) : hexOf(0.915, Math.min(c * 0.34, 0.028), h),
    "--accent-line": dark ? hexOf(0.47, Math.min(c * 0.7, 0.065), h) : hexOf(0.8, Math.min(c * 0.7, 0.06), h),
  };
}

// WCAG 2.2 contrast of two colours #rrggbb.
export function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)] as const;
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

function luminance(hex: string): number {
  const [r, g, b] = linearOf(hex);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

type Three = [number, number, number];

function linearOf(hex: string): Three {
  const channel = (i: number) => linear(Number.parseInt(hex.slice(i, i + 2), 16) / 255);
  return [channel(1), channel(3), channel(5)];
}

const linear = (c: number) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const encoded = (c: number) => (c <= 0.0031308 ? c * 12.92 : 1.055 * c ** (1 / 2.4) - 0.055);

function oklchOf(hex: string): Three {
  const [r, g, b] = linearOf(hex);
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  const A = 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s;
  const B = 0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s;
  const L = 0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s;
  return [L, Math.hypot(A, B), ((Math.atan2(B, A) * 180) / Math.PI + 360) % 360];
}

// The nearest colour that a screen can show: chroma is lowered until red, green and blue all fit.
function hexOf(l: number, c: number, h: number): string {
  for (let chroma = c; ; chroma -= 0.002) {
    const rgb = linearRgb(l, Math.max(chroma, 0), h);
    if (chroma <= 0 || rgb.every((x) => x >= -0.0005 && x <= 1.0005)) {
      return "#" + rgb.map((x) => Math.round(255 * encoded(Math.min(1, Math.max(0, x)))).toString(16).padStart(2, "0")).join("");
    }
  }
}

function linearRgb(L: number, C: number, h: number): Three {
  const a = C * Math.cos((h * Math.PI) / 180);
  const b = C * Math.sin((h * Math.PI) / 180);
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}
