// Times as people say them. The exact one belongs into a `title`.
import { spoken } from "./language.svelte.ts";
import { words } from "./words.ts";

const DAY_MS = 86_400_000;

/** How each language writes them; a format is dear to make. */
const FORMATS = {
  clock: { hour: "numeric", minute: "2-digit" },
  toTheSecond: { hour: "numeric", minute: "2-digit", second: "2-digit" },
  weekday: { weekday: "long", day: "numeric", month: "long" },
  full: { weekday: "long", day: "numeric", month: "long", year: "numeric" },
  short: { day: "numeric", month: "short" },
  shortYear: { day: "numeric", month: "short", year: "numeric" },
  exactly: { dateStyle: "full", timeStyle: "medium" },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>;

const made = new Map<string, Intl.DateTimeFormat>();

function write(name: keyof typeof FORMATS, at: Date): string {
  const { locale } = spoken();
  const key = `${locale} ${name}`;
  let format = made.get(key);
  if (!format) made.set(key, (format = new Intl.DateTimeFormat(locale, FORMATS[name])));
  return format.format(at);
}

/** The year is said where it is another than this one. */
const dayOf = (at: Date, now: number) => write(at.getFullYear() === new Date(now).getFullYear() ? "short" : "shortYear", at);

const midnight = (at: Date) => new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();

/** How many midnights lie between the two. */
function daysBetween(at: Date, now: number): number {
  return Math.round((midnight(new Date(now)) - midnight(at)) / DAY_MS);
}

export const timeOfDay = (at: string | number): string => write("clock", new Date(at));

/** Day and time to the second, for a record. */
export function dayAndSecond(at: string, now: number): string {
  const date = new Date(at);
  const days = daysBetween(date, now);
  const time = write("toTheSecond", date);
  if (days === 0) return `${words.talk.today} ${time}`;
  return `${days === 1 ? words.talk.yesterday : dayOf(date, now)} ${time}`;
}

export const exact = (at: string): string => write("exactly", new Date(at));

/** For a row: the time today, else the day. */
export function rowTime(at: string, now: number): string {
  const date = new Date(at);
  const days = daysBetween(date, now);
  if (days <= 0) return write("clock", date);
  if (days === 1) return words.talk.yesterday;
  return dayOf(date, now);
}

/** From when on who waits has waited too long. */
const LATE_MS = 3_600_000;

export const isLate = (since: string, now: number): boolean => now - Date.parse(since) >= LATE_MS;

/** For how long somebody waits. */
export function waited(since: string, now: number): string {
  const minutes = Math.floor((now - Date.parse(since)) / 60_000);
  if (minutes < 1) return words.waited.moment;
  if (minutes < 60) return words.waited.minutes(minutes);
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? words.waited.hours(hours, minutes % 60) : words.waited.days(Math.floor(hours / 24));
}

/** For the line between days. */
export function dayLine(at: string, now: number): string {
  const date = new Date(at);
  const days = daysBetween(date, now);
  if (days === 0) return words.talk.today;
  if (days === 1) return words.talk.yesterday;
  return write(date.getFullYear() === new Date(now).getFullYear() ? "weekday" : "full", date);
}

/** Day and time, for something that was. */
export function dayAndTime(at: string, now: number): string {
  const day = rowTime(at, now);
  const time = timeOfDay(at);
  return day === time ? time : `${day} ${time}`;
}

/** Whether both are on the same day, where the page is read. */
export const isSameDay = (a: string, b: string): boolean => midnight(new Date(a)) === midnight(new Date(b));
