// The names of the inbox's views.

/** A view that there always is. */
export type FixedView = "mine" | "unassigned" | "waiting" | "all" | "resolved";
export const VIEWS: readonly FixedView[] = ["mine", "unassigned", "waiting", "all", "resolved"];
/** Of a tag there is one once somebody looks at it. */
export type ViewName = FixedView | `tag:${string}`;

/** The tag whose view it is, if it is one's. */
export const tagOf = (name: ViewName): string | undefined => (name.startsWith("tag:") ? name.slice("tag:".length) : undefined);
