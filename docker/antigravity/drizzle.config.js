export default {
  dialect: 'postgresql',
  schema: './src/schema.js',
  out: './drizzle',
};
