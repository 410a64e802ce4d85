// The dashboard begins here.
import "./style/tokens.css";
import "./style/base.css";
import "./style/dashboard.css";
import "./style/sign.css";
import { mount } from "svelte";
import App from "./App.svelte";
import { speak } from "./language.svelte.ts";
import { Lasting } from "./stores/kept.ts";
import { Preferences } from "./stores/preferences.svelte.ts";

const kept = new Lasting(() => localStorage);
const preferences = new Preferences(kept);
// The first words that are seen are in the right language. Where its words can't be had, English is better than nothing.
await speak(preferences.language);
const target = document.getElementById("app");
if (target) mount(App, { target, props: { kept, preferences } });
