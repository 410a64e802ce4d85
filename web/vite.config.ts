import { svelte } from "@sveltejs/vite-plugin-svelte";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { budgets, compressed, sprite } from "./build/pages.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig(({ mode }) => ({
  root: here("dashboard"),
  base: "/dashboard/",
  plugins: [svelte(), sprite(here("dashboard/icons.svg")), compressed(), budgets(here("wire/src/browser.ts"))],
  build: {
    outDir: here("dist"),
    emptyOutDir: true,
    target: "es2024",
    // A `data:` address would be against the page's own policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // The stores run as in a browser, but without one.
  resolve: mode === "test" ? { conditions: ["browser"] } : {},
  test: { root: here("."), include: ["**/*.test.ts"], environment: "node" },
}));
